package dialect

// MarkedBytes is how long the part of a prompt has to be that stays the same before a
// mark at its end is worth it: providers keep no prefix of less than about 1,024
// tokens, of four bytes each, and say nothing of it.
const MarkedBytes = 4 << 10
