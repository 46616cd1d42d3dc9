"""Irregular but realistic inputs: bars with many events, MASTER tables with many ties, quotes with many repeats.

Every generator is a function of its seed; the Hypothesis strategies draw seeds and sizes, so that an example is short
to print and quick to make.
"""
