"""Sentences, captions, images and frozen features, and the batches made of them."""
