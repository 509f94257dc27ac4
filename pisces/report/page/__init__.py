"""One page of all results, plots/report.html: a file of its own that needs no network.

`build.page` makes it of what `sources.read` found. What a person wrote for it are page.html,
explorer.html, page.css and the scripts beside this file; the library of charts is inlined from the
package vl-convert-python.
"""
