"""The law that frames come from, as judge: what their symbols say, and what they could have been.

It is exact where symbols are independent and their points known, as in generated frames of a
Nyquist pulse. Behind an equaliser, which leaves neighbours in each other, it is an approximation.
"""
