"""What a person may set: params.yaml, checked and handed to the library; see `config.schema`.

No stage depends on this package, by rule: it holds no defaults and reaches no output but through
values that DVC knows as params.
"""
