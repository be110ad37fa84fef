"""When a sweep's files are written while it runs."""

from dalr.sweeps.execution.progress_files import ProgressFiles


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_many_changes_are_written_together_and_the_last_is_not_forgotten() -> None:
    clock, written = Clock(), []
    files = ProgressFiles(lambda: written.append(clock.time), clock)
    files.write_if_due()
    assert written == [], "nothing has changed"
    for second in range(100):
        clock.time = float(second)
        files.changed() if second < 70 else files.write_if_due()
    assert written == [0.0, 30.0, 60.0, 90.0]
    clock.time = 200.0
    files.write_if_due()
    assert len(written) == 4, "nothing has changed since"
