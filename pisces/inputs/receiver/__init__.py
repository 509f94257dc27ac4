"""From a frame to its symbols, blind: pulse, timing, equaliser, carrier.

`chain` puts the steps in a row. Each is a pure function on whole batches, on any device.
"""
