import pytest

from retroscope.collection.records import Candidates
from retroscope.errors import AnalysisError
from retroscope.probing.tasks import NOBODY, build_task


def test_a_task_keeps_every_list_in_its_order():
    task = build_task([Candidates("a", "p", ("x", "y")), Candidates("b", "y", ("p", "x", "z"))], 3)
    lists = [[task.passage_ids[p] for p in row if p != NOBODY] for row in task.passages]
    assert lists == [["p", "x", "y"], ["y", "p", "x", "z"]]
    assert [task.query_ids[q] for q in task.query] == ["a", "b"]
    assert task.dropped == 0


def test_choices_with_too_few_negatives_are_dropped_and_counted():
    task = build_task([Candidates("a", "p", ("x", "y")), Candidates("b", "y", ("p",))], 3)
    assert task.query_ids == ("a",)
    assert task.dropped == 1


def test_no_choice_left_says_what_would_be_possible():
    with pytest.raises(AnalysisError, match="the longest list has 2") as caught:
        build_task([Candidates("a", "p", ("x", "y"))], 5)
    assert "at most 3 candidate passages for each query" in caught.value.fix


def test_a_relevant_passage_among_the_negatives_is_an_error():
    with pytest.raises(AnalysisError, match=r"query 'a': \['r'\]"):
        build_task([Candidates("a", "p", ("x", "r")), Candidates("a", "r", ("x", "y"))], 2)


def test_passages_of_equal_text_are_one_passage_unless_the_rows_are_published_ones():
    """A negative of the text of the relevant passage, or of an earlier negative, is no candidate of its own."""
    rows = [Candidates("a", "p", ("x", "p again", "x again", "y")), Candidates("b", "x again", ("y", "p again"))]
    texts = {"p": 0, "p again": 0, "x": 1, "x again": 1, "y": 2}
    task = build_task(rows, 3, passage_texts=texts)
    assert task.passage_ids == ("p", "x", "y")
    assert task.passages.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert len(build_task(rows, 3, passage_texts=texts, as_given=True).passage_ids) == 5
