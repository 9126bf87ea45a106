"""Facts about a machine: two containers on it have one id, another machine has another one."""

from zebjax.distributed import machine


def test_the_id_is_that_of_the_running_kernel(tmp_path):
    ids = []
    for text in ("0b9e", "0b9e", "77aa"):
        (tmp_path / "boot_id").write_text(text)
        ids.append(machine.machine_id(tmp_path / "boot_id"))
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 16 and "0b9e" not in ids[0]
    assert machine.machine_id() == machine.machine_id()


def test_a_system_without_one_has_none(tmp_path):
    assert machine.machine_id(tmp_path / "none") == ""
