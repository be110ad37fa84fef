"""A table in the form of its reader: Markdown, LaTeX, CSV, HTML, Parquet."""
