"""The student, its teachers, and how a model's states become one vector a sentence."""
