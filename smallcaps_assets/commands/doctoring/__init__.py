"""Parts of `smallcaps doctor`: the installation, the second process."""
