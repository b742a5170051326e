"""The policy players: one file or folder each, all of one interface (`player`)."""
