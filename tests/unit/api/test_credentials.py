"""What has the form of a credential is refused in a command, named by field and never by value; references and files pass."""

import pytest
from pydantic import ValidationError

from astra_jobs.api.credentials import Scrubber, is_credential, masked, outline
from astra_jobs.api.invalid import explain_all
from astra_jobs.api.v1alpha1.corpus import McpSource, ToolCorpusSpec

REFUSED = (
    *("API_TOKEN=tok-1", "api_token=x", "NOTION_API_KEY=abc", "DB_PASSWORD=hunter2", "CLIENT_SECRET=abc", "OPENAI_KEY=abc", "PGPASSWORD=x"),
    *(
        "MYSQL_PWD=x",
        "apiKey=abc",
        "accessToken=abc",
        "KEY=abc",
        "AUTH=abc",
        "SECRET_KEY_BASE=abcdef",
        "API_KEY_2=a",
        "TOKEN_OF_MINE=abcd1234efgh",
    ),
    *("--token", "-token", "--api-key", "--github-personal-access-token", "--password", "--client-secret", "--bearer", "--apikey"),
    *("--api-key=abc", "--apiKey=abc", "--api_key=abc", "--env=API_TOKEN=abc", "-eAPI_TOKEN=abc"),
    *("Bearer abc", "Authorization: Bearer abc", "Authorization:Basic dXNlcjpwYXNz", "Authorization: abc", "X-API-Key: abc", "Cookie: a=b"),
    *("--header=Authorization: Bearer abc", '{"apiKey":"abc"}', '{"a": {"api_token": "abc"}}', '--config={"token":"abc"}'),
    *("https://user:pass@host/x", "postgres://u:p@h/db", "https://tok123@host/x", "redis://:pw@host:6379", "https://h/?sig=abc&x=1"),
    *("https://h/mcp?exaApiKey=abc", "https://h/x?key=abc", "https://h/x?a=b&token=abc"),
    *("sk-abc123", "sk-proj-abc123def", "sk_live_abc", "ghp_abc", "github_pat_11AAA", "xoxb-1-abc", "AKIAIOSFODNN7EXAMPLE", "glpat-abc"),
    *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", "-----BEGIN RSA PRIVATE KEY-----"),
    *("exec server --token abc", "TOKEN=abc exec x", "export A=b;TOKEN=abc exec x", "curl -H 'Authorization: Bearer abc'"),
)
TAKEN = (
    *("node", "-e", "throw new Error('NOTION_TOKEN is not set')", "npx", "-y", "@modelcontextprotocol/server-memory", "a@b.example"),
    *("--max-tokens", "--max-tokens=4096", "MAX_TOKENS=100", "TOKENIZERS_PARALLELISM=false", "AUTHOR=me", "KEYBOARD=us", "LOG_LEVEL=debug"),
    *(
        "--token-file",
        "--token-file=/run/token",
        "API_KEY_FILE=/run/secrets/x",
        "--key-file",
        "-e",
        "API_TOKEN",
        "--no-auth",
        "--secret-name",
    ),
    *(
        'exec server --token "$TOKEN"',
        "exec server --token=${TOKEN}",
        "TOKEN=$OTHER exec x",
        "Authorization: Bearer ${TOKEN}",
        '{"apiKey":"$K"}',
    ),
    *(
        "ssh://git@host",
        "postgres://user@host/db",
        "postgres://u:$PW@h/db",
        "http://localhost:3000/sse",
        "https://h/x?page=2",
        "https://x/@me/y",
    ),
    *("sk-learn-mcp", "task-123-runner", "risk-model-v2", "@scope/pkg@1.2.3", "import x; x.main(key=lambda v: v)", "secret", "token"),
)


@pytest.mark.parametrize("word", REFUSED)
def test_a_credential_in_a_command_is_refused_without_its_value(word: str) -> None:
    assert is_credential(word)
    source = {"name": "m", "mcp": {"command": ["server", word]}}
    with pytest.raises(ValidationError) as refused:
        ToolCorpusSpec.model_validate({"sources": [source]})
    (line,) = map(str, explain_all(refused.value, ToolCorpusSpec))
    assert line.startswith("sources[0].mcp.command[1]: has the form of a credential, which no spec may hold; put the value into a Secret")
    assert word not in line


@pytest.mark.parametrize("word", TAKEN)
def test_words_references_and_files_pass(word: str) -> None:
    assert McpSource.model_validate({"command": ["server", word]}).command[1] == word


WRONG = {
    "a map": {"env": {"API_TOKEN": "tok-123456"}},
    "a value": {"env": [{"name": "API_TOKEN", "value": "tok-123456"}]},
    "a list of text": {"env": ["API_TOKEN=tok-123456"]},
    "another field": {"enviroment": {"API_TOKEN": "tok-123456"}},
    "its own field": {"token": "tok-123456"},
    "a field of a list": {"args": ["--token", "API_TOKEN=tok-123456"]},
    "one text": {"command": "server tok-123456"},
    "a command of maps": {"command": [{"x": "tok-123456"}]},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_written_in_the_wrong_place_is_not_shown_either(case: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ToolCorpusSpec.model_validate({"sources": [{"name": "m", "mcp": {"command": ["x"], **WRONG[case]}}]})
    lines = [str(item) for item in explain_all(refused.value, ToolCorpusSpec)]
    assert lines
    assert "tok-123456" not in "".join(lines)


def test_the_words_of_others_are_masked_where_they_look_like_credentials() -> None:
    said = "API_TOKEN=abc postgres://u:pw@h/db and Authorization: Bearer abc or ghp_abc, https://tok@h"
    assert masked(said) == "API_TOKEN=*** postgres://u:***@h/db and Authorization: Bearer *** or ***, https://***@h"
    plain = "Error: missing API key: set NOTION_API_KEY (invalid token: expected text)"
    assert masked(plain) == plain


def test_values_are_found_as_they_are_and_as_they_are_encoded() -> None:
    scrubber = Scrubber(["tok-123456", 'a b/c"d', "line one\nline two"])
    for form in ("tok-123456", "dG9rLTEyMzQ1Ng==", "a%20b%2Fc%22d", "a+b%2Fc%22d", 'a b/c\\"d', "line two"):
        assert scrubber.holds(f"x {form} y")
        assert form.rstrip("=") not in scrubber.clean(f"x {form} y")
    assert not scrubber.holds("tok-12345")
    assert not Scrubber(["abc"]).holds("abc"), "too short to be told from words"
    assert not Scrubber().holds("anything")


def test_an_outline_shows_programs_and_digests() -> None:
    spec = {"sources": [{"name": "m", "mcp": {"command": ["npx", "-y", "x"], "env": [{"name": "A"}]}}, {"mcp": {"command": ["one"]}}]}
    shown = outline(spec)
    assert shown["sources"][0]["mcp"]["command"][0] == "npx"
    assert shown["sources"][0]["mcp"]["command"][1].startswith("(2 arguments, sha256:")
    assert shown["sources"][0]["mcp"]["env"] == [{"name": "A"}]
    assert shown["sources"][1]["mcp"]["command"] == ["one"]
