"""Google search."""

from __future__ import annotations

from ziet.integrations._mock import check, integration, is_int, is_text

__all__ = ["search"]

_RESULTS = (
    ("{query} - Wikipedia", "https://en.wikipedia.org/wiki/{slug}", "{query}: overview, history and references."),
    ("{query}: a practical guide", "https://guides.example.com/{slug}", "All that you need to know about {query}."),
    ("What is {query}?", "https://answers.example.com/what-is/{slug}", "{query} explained in plain words."),
    ("{query} news", "https://news.example.com/topics/{slug}", "The latest on {query}, updated every day."),
    ("{query} compared", "https://reviews.example.com/{slug}", "How the best known kinds of {query} compare."),
)


@integration("google.search")
def search(query: str, num_results: int = 10, *, language: str = "en") -> list[dict[str, str]]:
    """Searches the web.

    Args:
        query: What to search for.
        num_results: How many results to give, 1 to 100.
        language: The results' language as a code such as "en".

    Returns:
        `num_results` results, the best first, each with `title`, `link` and `snippet`.

    Raises:
        ValueError: An argument is not as described.
        IntegrationError: Integrations are not mocked here.
    """
    check(is_text(query), "google.search: query must be a text that is not empty", query)
    check(is_int(num_results, 1, 100), "google.search: num_results must be a whole number from 1 to 100", num_results)
    check(is_text(language), 'google.search: language must be a code such as "en"', language)
    return [_result(query.strip(), number) for number in range(num_results)]


def _result(query: str, number: int) -> dict[str, str]:
    title, link, snippet = _RESULTS[number % len(_RESULTS)]
    page = number // len(_RESULTS) + 1
    slug = "-".join("".join(c if c.isalnum() else " " for c in query.lower()).split()) or "results"
    suffix = f" (part {page})" if page > 1 else ""
    return {
        "title": title.format(query=query) + suffix,
        "link": link.format(slug=slug) + (f"/{page}" if page > 1 else ""),
        "snippet": snippet.format(query=query),
    }
