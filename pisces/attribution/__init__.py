"""Which pixels a prediction depends on, by methods of the field, and how far to trust them.

`compare` is the entry. `methods` makes attribution maps, `faithfulness` measures them, `judge` does
so for every method, and `sanity` compares them with maps of the control models of `controls`.
"""
