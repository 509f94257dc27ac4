"""Commands beside the pipeline that work on more than params; `pisces.__main__` lists all."""
