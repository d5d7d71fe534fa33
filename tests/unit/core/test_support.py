"""What is refused by name, whatever users write."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import make_model

from mistral_operator.api.model import MistralModel
from mistral_operator.core.support import find_unsupported, name_flag

WORDS = st.lists(st.text(min_size=1, max_size=40) | st.text("=- \t.0x", min_size=1, max_size=6), max_size=8)


@given(WORDS)
def test_any_words_of_a_users_own_are_looked_at(words: list[str]) -> None:
    found = find_unsupported(MistralModel.model_validate(make_model(engine={"extraArgs": words})))
    assert found is None or found.reason == "FieldConflict"


def test_a_word_with_nothing_before_its_value_names_no_flag() -> None:
    for word in ("=3", " =3", "=", "==", "\t"):
        assert name_flag(word) == ""
    assert name_flag(" --port =9") == "--port"
