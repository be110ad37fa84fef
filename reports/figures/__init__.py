"""Figures: for each a function that returns its data, tested, and a thin one that draws it."""
