"""From the caller's data to problems of columns of unit variance."""
