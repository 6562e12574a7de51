"""A transcript shows what a policy wrote, the calls that could not be read included."""

from astra_jobs.records.conversation import Message
from astra_jobs.records.episode import Episode, EpisodeCall, Reward
from astra_jobs.report.transcripts import _transcript


def test_a_malformed_call_is_shown_with_its_text_and_its_answer() -> None:
    episode = Episode(
        environment="e",
        messages=[
            Message(role="user", content="q"),
            Message(role="assistant"),
            Message(role="tool", content='{"error":"malformed call: no brace"}'),
        ],
        calls=[EpisodeCall(turn=0, tool="", outcome="malformed", text='{"name": "f" <b>', fault="no brace")],
        ending="TurnLimit",
        reward=Reward(value=0, targets=1, solved=0, calls=1),
    )
    shown = str(_transcript(episode, 0, 1))
    assert "{&#34;name&#34;: &#34;f&#34; &lt;b&gt;" in shown or "{&quot;name&quot;: &quot;f&quot; &lt;b&gt;" in shown
    assert "malformed call: no brace" in shown
    assert '<em class="outcome">malformed</em>' in shown
