"""`docs`: the pages of docs/reference that are made from schemas."""

from pisces.core.files import staged


def docs() -> None:
    """Writes the pages of docs/reference about params and sweeps from their schemas."""
    from pisces.config import reference
    from pisces.experiments import study_page

    pages = {reference.PAGE: reference.page(), study_page.PAGE: study_page.page()}
    for path, text in pages.items():
        with staged(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
