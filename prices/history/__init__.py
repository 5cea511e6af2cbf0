"""The past in: the exchange's public archive, and its REST. In: what somebody wants. Out: sealed days, and trades."""
