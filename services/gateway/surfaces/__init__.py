"""The dialects that clients speak: one file for each, all of `protocol.Surface`."""
