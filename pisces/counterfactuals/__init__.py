"""Counterfactuals: how few symbols of a frame must move until another class is predicted.

A symbol moves to a draw from the law of a rival class in its place, one draw a symbol and never the
best of several. The exact law of the symbols says how few can suffice for the likelihood.
"""
