"""How questions become tokens: chat templates and where they end an answer, and the plain template."""

from __future__ import annotations

import pytest

CHATML = (
    "{% for message in messages %}{% if message.content == 'no' %}{{ raise_exception('refused') }}{% endif %}"
    "<bos>({{ message.role }}){{ message.content }}<eot>\n{% endfor %}"
    "{% if add_generation_prompt %}(assistant){% endif %}"
)


@pytest.fixture
def chat_lm(tiny_lm):
    """A model whose template ends a turn with a special token that is not its EOS."""
    lm = tiny_lm()
    lm.tokenizer.add_special_tokens({"additional_special_tokens": ["<eot>"]})
    lm.tokenizer.chat_template = CHATML.replace("<bos>", "", 1)
    return lm


def test_the_chat_template_writes_the_whole_conversation(chat_lm):
    from harness.prompting import template_of

    for name in ("auto", "chat"):
        template = template_of(chat_lm, name, "ko")
        ids = template.encode(["Why?", "So", "And?"])
        said = "(user)Why?<eot>\n(assistant)So<eot>\n(user)And?<eot>\n(assistant)"
        assert ids == chat_lm.encode(said, special=False), "no BOS is added to a template's own text"
        assert template.name == "chat"
        assert template.text == "(user)...<eot>\n(assistant)"


def test_an_answer_ends_where_the_template_ends_one(chat_lm):
    from harness.prompting import template_of

    (end,) = chat_lm.encode("<eot>", special=False)
    ending = template_of(chat_lm, "chat", "en").ending
    assert ending.ids == {1, end}
    assert ending.strings == ()
    chat_lm.model.generation_config.eos_token_id = [1, 7]
    assert template_of(chat_lm, "chat", "en").ending.ids == {1, 7, end}


def test_the_plain_template_speaks_the_questions_language(tiny_lm):
    from harness.prompting import template_of

    lm = tiny_lm()
    english = template_of(lm, "auto", "en")
    assert english.name == "plain"
    assert english.encode(["Why?", "So.", "And?"]) == lm.encode(
        "Question: Why?\nAnswer: So.\n\nQuestion: And?\nAnswer:"
    )
    assert english.ending.strings == ("\nQuestion:", "\nAnswer:")
    assert template_of(lm, "plain", "ko").text == "질문: ...\n답변:"
    assert template_of(lm, "plain", "zh-Hant").text == "问题: ...\n回答:"


def test_without_labels_questions_are_quoted(tiny_lm):
    from harness.prompting import template_of

    lm = tiny_lm()
    template = template_of(lm, "plain", "th")
    assert template.encode(["A\nB", "C\nD", "E"]) == lm.encode("> A\n> B\n\nC\nD\n\n> E\n\n")
    assert template.ending.strings == ("\n>",)


def test_what_is_refused(tiny_lm, chat_lm):
    from harness.prompting import template_of

    with pytest.raises(ValueError, match="no chat template; leave template out, or say template=plain"):
        template_of(tiny_lm(), "chat", "en")
    with pytest.raises(ValueError, match="the chat template refuses a conversation of 1 messages: refused"):
        template_of(chat_lm, "chat", "en").encode(["no"])
