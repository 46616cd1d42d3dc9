"""Files of the lake, of any kind: how they are published, proved, read, locked and set aside."""
