"""The eye: pages that people read in a browser, rendered here from the contract."""

from pages.site import create_pages

__all__ = ["create_pages"]
