"""What a symbol looks like."""

import re

# Letters and digits of any alphabet: the exchange lists symbols that are not ASCII.
SYMBOL_PATTERN = r"\w{1,32}"
WHAT_A_SYMBOL_IS = "A symbol is 1 to 32 letters and digits, like BTCUSDT."
is_symbol = re.compile(SYMBOL_PATTERN).fullmatch
