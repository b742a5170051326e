"""The model player: an ensemble of networks, fitted to data and rolled out."""
