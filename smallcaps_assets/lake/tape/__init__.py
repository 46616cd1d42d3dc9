"""The tape in the lake: its files, who publishes them and who reads them."""
