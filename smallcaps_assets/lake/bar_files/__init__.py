"""The files of minute bars: what lists, reads, renews and publishes them, and the rows they refuse."""
