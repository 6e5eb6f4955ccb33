"""Mutation operators: every single-line break that can be made of a module's source."""

from __future__ import annotations

import ast
import dataclasses
import hashlib

COMPARISONS = {
    ast.Lt: [" <= ", " > "],
    ast.LtE: [" < ", " >= "],
    ast.Gt: [" >= ", " < "],
    ast.GtE: [" > ", " <= "],
    ast.Eq: [" != "],
    ast.NotEq: [" == "],
    ast.Is: [" is not "],
    ast.IsNot: [" is "],
    ast.In: [" not in "],
    ast.NotIn: [" in "],
}
CALLS = {
    "abs": [""],
    "all": ["any"],
    "any": ["all"],
    "argmax": ["argmin"],
    "argmin": ["argmax"],
    "ceil": ["floor"],
    "exp": ["expm1"],
    "max": ["min"],
    "maximum": ["minimum"],
    "mean": ["sum"],
    "min": ["max"],
    "minimum": ["maximum"],
    "ones_like": ["zeros_like"],
    "sign": [""],
    "sorted": [""],
    "sqrt": [""],
    "square": [""],
    "sum": ["mean"],
    "zeros_like": ["ones_like"],
}
# Tolerances are not among them: twice a tolerance keeps every promise that is written down.
FLOATS = {0.0: "1.0", 0.25: "0.5", 0.5: "1.0", 1.0: "2.0", 2.0: "1.0", 4.0: "2.0"}
LARGEST_INTEGER = 16

# Nothing is computed from these names, or they only report.
SILENT_FUNCTIONS = {"__repr__", "__str__"}
SILENT_CALLS = {"warn", "warning", "print", "cast", "TypeVar", "print_exc"}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One line of one function before and after; `operator` names the kind of break."""

    file: str
    function: str
    before: str
    after: str
    operator: str

    def rank(self, seed: int) -> str:
        """Return a random order's key that depends on the mutant alone, not on its neighbors."""
        text = f"{seed}|{self.file}|{self.function}|{self.before}|{self.after}"
        return hashlib.sha256(text.encode()).hexdigest()


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a module whose line occurs once in its function."""
    drawer = _Drawer(file, source)
    drawer.visit(ast.parse(source))
    return drawer.mutants


class _Drawer(ast.NodeVisitor):
    def __init__(self, file: str, source: str):
        self.file = file
        self.lines = source.splitlines()
        self.functions: list[ast.AST] = []
        self.names: list[str] = []
        self.mutants: list[Mutant] = []

    def visit(self, node: ast.AST) -> None:
        method = getattr(self, "visit_" + type(node).__name__, None)
        if method is not None:
            method(node)
        else:
            self.generic_visit(node)

    # What is never drawn: annotations, messages, decorators, code that only types see.

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._enter(node, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name not in SILENT_FUNCTIONS:
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            self._enter(node, [*defaults, *node.body])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def _enter(self, node: ast.AST, children: list) -> None:
        self.functions.append(node)
        self.names.append(node.name)
        for child in children:
            self.visit(child)
        self.functions.pop()
        self.names.pop()

    # What is drawn.

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.body[-1], ast.Raise):
            self._replace(node.test, "False", "check removed")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        body, other = self._text(node.body), self._text(node.orelse)
        if body and other:
            test = self._text(node.test)
            self._replace(node, f"({other} if {test} else {body})", "choice swapped")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and not self._silent(node.value):
            self._replace(node, "pass", "call dropped")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._silent(node):
            return
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        others = CALLS.get(name, [])
        if isinstance(node.func, ast.Name) and "mean" in others:
            others = []  # not a built-in function
        for other in others:
            operator = f"{name} for {other or 'nothing'}"
            if other:
                function = self._text(node.func)
                if function:
                    self._replace(node.func, function.removesuffix(name) + other, operator)
            elif len(node.args) == 1 and self._text(node.args[0]):
                self._replace(node, f"({self._text(node.args[0])})", operator)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg == "strict":
            return  # of zip: it guards what the code around it ensures
        if node.arg == "axis" and isinstance(node.value, ast.Constant | ast.UnaryOp):
            axis = {"0": "1", "1": "0", "-1": "0", "-2": "-1"}.get(ast.unparse(node.value))
            if axis:
                self._replace(node.value, axis, "axis swapped")
            return
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == "T" and self._text(node.value):
            self._replace(node, self._text(node.value), "transpose dropped")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        # `int | None` in a call is a type, and text is not arithmetic.
        left, right = self._text(node.left), self._text(node.right)
        words = any(
            isinstance(part, ast.JoinedStr | ast.List | ast.Tuple)
            or (isinstance(part, ast.Constant) and isinstance(part.value, str | type(None)))
            for part in (node.left, node.right)
        )
        if left and right and not words:
            if isinstance(node.op, ast.Mult | ast.Div):
                self._replace(node, f"({left})", "factor dropped")
            if isinstance(node.op, ast.Add):
                self._replace(node, f"({left} - {right})", "sign")
            if isinstance(node.op, ast.Sub):
                self._replace(node, f"({left} + {right})", "sign")
            if isinstance(node.op, ast.Pow | ast.FloorDiv | ast.Mod):
                self._replace(node, f"({left})", "power dropped")
            if isinstance(node.op, ast.BitAnd):
                self._replace(node, f"({left} | {right})", "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        operand = self._text(node.operand)
        if operand and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            self._replace(node, f"({operand})", "sign")
        if operand and isinstance(node.op, ast.Not | ast.Invert):
            self._replace(node, f"({operand})", "not dropped")
        if not (isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)):
            self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        left, right = node.values[0], node.values[-1]
        if len(node.values) == 2 and self._text(left) and self._text(right):
            word = "or" if isinstance(node.op, ast.And) else "and"
            other = f"({self._text(left)} {word} {self._text(right)})"
            self._replace(node, other, "and/or")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            left, right = self._text(node.left), self._text(node.comparators[0])
            for other in COMPARISONS.get(type(node.ops[0]), []):
                if left and right:
                    self._replace(node, left + other + right, "comparison")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value), "constant")
        elif isinstance(node.value, int) and abs(node.value) <= LARGEST_INTEGER:
            self._replace(node, str(node.value + 1), "off by one")
        elif isinstance(node.value, float) and node.value in FLOATS:
            self._replace(node, FLOATS[node.value], "constant")

    def _silent(self, node: ast.Call) -> bool:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in SILENT_CALLS

    def _text(self, node: ast.AST) -> str | None:
        if node.lineno != node.end_lineno:
            return None
        line = self.lines[node.lineno - 1].encode()
        return line[node.col_offset : node.end_col_offset].decode()

    def _replace(self, node: ast.AST, text: str, operator: str) -> None:
        function = self.functions[-1]
        if node.lineno != node.end_lineno or not self.names:
            return
        before = self.lines[node.lineno - 1]
        line = before.encode()
        after = (line[: node.col_offset] + text.encode() + line[node.end_col_offset :]).decode()
        lines = self.lines[function.lineno - 1 : function.end_lineno]
        if lines.count(before) != 1:
            return
        name = ".".join(self.names)
        self.mutants.append(Mutant(self.file, name, before, after, operator))
