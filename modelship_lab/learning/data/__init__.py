"""Files of data before anything is learned from them: read, checked, reported on."""
