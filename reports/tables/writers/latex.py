"""Tables as LaTeX with booktabs: a document that compiles as it stands, the table marked in it."""

from dalr.reports.tables.scores import Cell, Row, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "…": r"\dots{}",
}

_PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
% --- the table: copy from here; it needs booktabs and graphicx ---
"""

_END = r"""% --- to here ---
\end{document}
"""


def latex(table: Table) -> str:
    """A complete document that holds the table, its title as caption, its notes below."""
    width = 1 + int(table.with_seeds) + len(table.columns)
    seeds = ["Seeds"] if table.with_seeds else []
    headings = [escaped(text) for text in (table.row_heading, *seeds, *table.columns.values())]
    lines = [
        r"\begin{table}[ht]",
        r"\centering",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(block.title)}}}}} \\", r"\addlinespace[2pt]"]
        lines += [" & ".join(_row(row, table)) + r" \\" for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    notes = "".join(rf"{{\footnotesize {escaped(note)}\par}}" + "\n" for note in table.below)
    return _PREAMBLE + "\n".join(lines) + "\n" + notes + _END


def _row(row: Row, table: Table) -> list[str]:
    label = escaped(row.label) + (rf" {{\footnotesize {escaped(row.note)}}}" if row.note else "")
    seeds = [str(len(row.seeds)) if row.seeds else ""] if table.with_seeds else []
    return [label, *seeds, *(_cell(row.cells.get(column, Cell())) for column in table.columns)]


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.place or 0, text)
    deviation = rf"{{\scriptsize $\,\pm${cell.deviation_text}}}" if cell.deviation_text is not None else ""
    marks = rf"\textsuperscript{{{escaped(cell.marks)}}}" if cell.marks else ""
    return f"{text}{deviation}{marks}"


def escaped(text: str) -> str:
    """Plain text as LaTeX source. What pdfLaTeX's fonts do not hold (beyond Latin-1) becomes `?`."""
    return "".join(_SPECIAL.get(one, one if 32 <= ord(one) < 127 or 160 < ord(one) < 256 else "?") for one in text)
