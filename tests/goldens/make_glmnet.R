# Writes glmnet.json beside this file: Rscript tests/goldens/make_glmnet.R
#
# Gaussian glmnet without standardisation, on data whose response is far from standard
# deviation 1, with and without sample weights. Numbers are written in full.

library(glmnet)

here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
number <- function(x, format = "%.17g") {
  paste0("[", paste(sprintf(format, x), collapse = ", "), "]")
}
# Data have six decimals, which 15 digits give back exactly.
data_row <- function(x) number(x, "%.15g")
matrix_rows <- function(X) {
  paste0("[\n    ", paste(apply(X, 1, data_row), collapse = ",\n    "), "\n  ]")
}

set.seed(20)
n <- 30
p <- 5
X <- matrix(rnorm(n * p), n) %*% diag(c(1, 2, 0.5, 1, 3))
X[, 4] <- X[, 4] + 0.8 * X[, 1]
X <- X + rep(c(1, -2, 0, 3, 0.5), each = n)
y <- 10 + drop(X %*% c(6, 0, -8, 2, 0)) + 4 * rnorm(n)
sample_weights <- runif(n, 0.2, 3)
# Rounded, so that the decimals written are the very numbers that were fitted.
X <- round(X, 6)
y <- round(y, 6)
sample_weights <- round(sample_weights, 6)

lambdas <- c(3, 1, 0.2)
fits <- c()
for (alpha in c(1, 0.5, 0.2)) {
  for (weighted in c(FALSE, TRUE)) {
    w <- if (weighted) sample_weights else rep(1, n)
    fit <- glmnet(X, y,
      family = "gaussian", weights = w, alpha = alpha, lambda = lambdas,
      standardize = FALSE, intercept = TRUE, thresh = 1e-14, maxit = 1e7
    )
    for (i in seq_along(lambdas)) {
      fits <- c(fits, sprintf(
        '{"alpha": %g, "weighted": %s, "lambda": %g,\n     "intercept": %.17g, "coef": %s}',
        alpha, tolower(weighted), lambdas[i], fit$a0[i], number(fit$beta[, i])
      ))
    }
  }
}

writeLines(paste0(
  "{\n",
  '  "glmnet": "', packageVersion("glmnet"), '",\n',
  '  "X": ', matrix_rows(X), ",\n",
  '  "y": ', data_row(y), ",\n",
  '  "sample_weights": ', data_row(sample_weights), ",\n",
  '  "fits": [\n    ', paste(fits, collapse = ",\n    "), "\n  ]\n}"
), file.path(here, "glmnet.json"))
