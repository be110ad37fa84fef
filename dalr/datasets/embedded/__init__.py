"""The embedded data set: drawn scenes, captions, sentences, and tasks in SentEval's layout."""

from dalr.datasets.embedded.make import make_embedded_data

__all__ = ["make_embedded_data"]
