"""Who answers the synthesis stages: typed requests, and authors that answer them (SPEC 6)."""
