"""Tables as LaTeX with booktabs: floats to read into a document, which also compile as they stand."""

import re

from dalr.reports.load.names import one_line
from dalr.reports.tables.grid import Cell, Row, Table

MOST_COLUMNS_UPRIGHT = 10

_SPECIAL = {
    "\0": "{}",
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

_BEGIN = r"""% A float to \input in a document that loads booktabs and graphicx; or compile this file as it stands.
\makeatletter
\ifx\documentclass\@twoclasseserror \let\dalrend\relax \else
\documentclass[10pt]{article}
\ifdefined\Umathcode \usepackage{fontspec}\else \usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\fi
\usepackage[a4paper,ORIENTATION,margin=12mm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
\def\dalrend{\end{document}}
\fi
\makeatother
"""

# Shows its second argument where the font has that character, and its number where not.
_CHARACTER = r"""\protected\def\dalrchar#1#2{\begingroup
  \ifdefined\Umathcode \iffontchar\font"#1 \let\dalrnumber\relax\fi
  \else \ifcsname u8:\detokenize{#2}\endcsname \let\dalrnumber\relax\fi\fi
  \ifx\dalrnumber\relax #2\else {\scriptsize U+#1}\fi\endgroup}
"""


def latex(table: Table) -> str:
    """A float that holds the title as its caption, the table and its notes, as a file that can be read into a
    document and that is also one."""
    width = 1 + int(table.with_seeds) + len(table.columns)
    seeds = ["Seeds"] if table.with_seeds else []
    headings = [escaped(text) for text in (table.row_heading, *seeds, *table.columns.values())]
    title = escaped(table.title)
    # The list of tables is set before any table, and so before the command for rare characters is there.
    listed = f"[{_numbered(title)}]" if r"\dalrchar" in title else ""
    lines = [
        r"\begin{table}[ht]",
        r"\centering",
        rf"\caption{listed}{{{title}}}",
        rf"\label{{tab:{re.sub('[^a-z0-9-]', '', table.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(block.title)}}}}} \\", r"\addlinespace[2pt]"]
        lines += [" & ".join(_row(row, table)) + r" \\" for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.below:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright"]
        lines += [rf"{escaped(note)}\par" for note in table.below]
        lines += [r"\end{minipage}"]
    body = "\n".join([*lines, r"\end{table}"]) + "\n"
    orientation = "landscape" if width > MOST_COLUMNS_UPRIGHT else "portrait"
    character = _CHARACTER if r"\dalrchar" in body else ""
    return _BEGIN.replace("ORIENTATION", orientation) + character + body + "\\dalrend\n"


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
    """Plain text on one line as LaTeX source. Characters beyond Latin-1 are kept, in a command that shows their
    numbers where the font lacks them."""
    text = re.sub("-(?=-)", "-\0", one_line(text))  # two hyphens would become a dash
    return "".join(
        _SPECIAL.get(character) or (character if ord(character) < 256 else _rare(character)) for character in text
    )


def _rare(character: str) -> str:
    return rf"\dalrchar{{{ord(character):04X}}}{{{character}}}"


def _numbered(source: str) -> str:
    """LaTeX source with the numbers of rare characters in their place."""
    return re.sub(r"\\dalrchar\{(\w+)\}\{.\}", r"U+\1", source)
