"""Text as all parts compare and count it: one folding, one tokeniser (SPEC 1, 2 and 5). Knows no other package."""
