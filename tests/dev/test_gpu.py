"""CUDA and Metal, by programs that say what NVIDIA's and Apple's say: neither card nor Mac can be here."""

import json
from pathlib import Path

import pytest

from llorch import toolchain
from llorch.dev import gpu
from llorch.dev.finding import Finding
from llorch.dev.gpu import check_cuda, check_metal, has_card, needs_cuda, needs_metal
from tests.conftest import program
from tests.dev.conftest import DEBIAN, MAC, Programs, look, needs_of
from tests.dev.trees import MAIN, package, write_tree

NVCC = """\
case $1 in
--version) echo "nvcc: NVIDIA (R) Cuda compiler driver"; echo "Cuda compilation tools, release 12.8, V12.8.93" ;;
--list-gpu-arch) echo compute_80; echo compute_89 ;;
esac
"""
SMI = """\
case $1 in
"") echo "| NVIDIA-SMI 570.86    Driver Version: 570.86    CUDA Version: {cuda}  |" ;;
*compute_cap*) {old} echo "NVIDIA L4, 570.86, 23034, 22565, {capability}" ;;
*) echo "NVIDIA L4, 570.86, 23034, 22565" ;;
esac
"""
CPU_TOO = '"cpu", '


def declare(root: Path, backends: str) -> None:
    """Declare a build for backends."""
    bin = 'bin = "app-{backend}"'
    (root / "llorch.toml").write_text(f'[build.app]\nmanifest = "Cargo.toml"\n{bin}\nbackends = [{backends}]\n')


@pytest.fixture
def machine(workspace: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A workspace with builds for the CPU and for CUDA, on a machine that has nothing."""
    monkeypatch.setattr(toolchain, "CUDA", str(workspace / "nowhere"))
    monkeypatch.setattr(gpu, "WSL", str(workspace / "nowhere"))
    monkeypatch.setattr(gpu, "DRIVER", workspace / "driver")
    monkeypatch.setattr(gpu, "CARDS", workspace / "devices")
    declare(workspace, f'{CPU_TOO}"cuda"')
    return programs


def write_smi(programs: Programs, *, cuda: str = "12.8", capability: str = "8.9", old: str = "") -> None:
    """Have nvidia-smi in PATH."""
    programs.write("nvidia-smi", SMI.format(cuda=cuda, capability=capability, old=old))


def words(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return ids and severities."""
    return [(finding.id, finding.severity) for finding in findings]


def test_who_needs_them(workspace: Path) -> None:
    """Builds for CUDA off a Mac, builds for Metal on one, and nobody else."""
    assert (needs_cuda(needs_of(workspace)), needs_metal(needs_of(workspace, MAC))) == ("", "")
    declare(workspace, f'{CPU_TOO}"cuda", "metal"')
    linux, mac = needs_of(workspace), needs_of(workspace, MAC)
    assert (needs_cuda(linux), needs_cuda(mac)) == ("build:app-cuda", "")
    assert (needs_metal(linux), needs_metal(mac)) == ("", "build:app-metal")


def test_all_of_cuda(workspace: Path, machine: Programs) -> None:
    """The compiler's release and place, the card, its driver and its compute capability."""
    nvcc = machine.write("nvcc", NVCC)
    write_smi(machine)
    cuda, card = look(check_cuda, workspace)
    assert words([cuda, card]) == [("cuda", "ok"), ("gpu", "ok")]
    assert cuda.found == f"12.8, {nvcc}"
    assert card.found == "NVIDIA L4, driver 570.86, compute capability 8.9"


def test_no_compiler(workspace: Path, machine: Programs) -> None:
    """A failure where there is a card or nothing else to build, else a warning; the system's package is the fix."""
    cuda, card = look(check_cuda, workspace)
    assert words([cuda, card]) == [("cuda", "warn"), ("gpu", "warn")]
    assert cuda.fix == ("sudo apt install nvidia-cuda-toolkit",)
    declare(workspace, '"cuda", "metal"')
    assert words(look(check_cuda, workspace))[0] == ("cuda", "error")
    write_tree(workspace, {"Cargo.toml": package("app", "[features]\ncuda = []\n"), "src/main.rs": MAIN})
    (workspace / "llorch.toml").unlink()
    assert program("llorch", "init").code == 0
    assert [plan.task for plan in needs_of(workspace).builds] == ["build:app-cuda", "build:app-cpu"]
    assert words(look(check_cuda, workspace))[0] == ("cuda", "warn")
    declare(workspace, f'{CPU_TOO}"cuda"')
    write_smi(machine)
    cuda, card = look(check_cuda, workspace, system=DEBIAN._replace(manager="dnf"))
    assert words([cuda, card]) == [("cuda", "error"), ("gpu", "ok")]
    assert cuda.fix == ("sudo dnf install cuda-toolkit",)


def test_a_compiler_that_does_not_work(workspace: Path, machine: Programs) -> None:
    """It says so, and the cards are told all the same; one that tells no release is there."""
    machine.write("nvcc", "echo broken; exit 1")
    write_smi(machine)
    cuda, card = look(check_cuda, workspace)
    assert words([cuda, card]) == [("cuda", "error"), ("gpu", "ok")]
    assert "broken" in cuda.text
    machine.write("nvcc", "exit 0")
    assert look(check_cuda, workspace)[0].found.startswith("unknown, ")


def test_no_card(workspace: Path, machine: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built cannot run here, and needs to be told what for."""
    machine.write("nvcc", NVCC)
    cuda, card = look(check_cuda, workspace)
    assert words([cuda, card]) == [("cuda", "ok"), ("gpu", "warn")]
    assert "CUDA_COMPUTE_CAP" in card.text
    monkeypatch.setenv("CUDA_COMPUTE_CAP", "89")
    assert "CUDA_COMPUTE_CAP" not in look(check_cuda, workspace)[1].text


def test_a_card_without_a_driver(workspace: Path, machine: Programs) -> None:
    """The kernel knows of the card; a sound device or another maker's card is none."""
    for name, vendor, kind in (("0", "0x10de", "0x040300"), ("1", "0x1002", "0x030000"), ("2", "0x10de", "0x030200")):
        assert not has_card()
        device = workspace / "devices" / name
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (workspace / "devices/3").mkdir()
    machine.write("nvcc", NVCC)
    card = look(check_cuda, workspace)[1]
    assert (card.severity, card.fix) == ("error", ("sudo apt install nvidia-driver",))


def test_a_driver_that_does_not_answer(workspace: Path, machine: Programs) -> None:
    """As after an update of the kernel; it says itself why."""
    machine.write("nvcc", NVCC)
    machine.write("nvidia-smi", "echo NVIDIA-SMI has failed; exit 9")
    card = look(check_cuda, workspace)[1]
    assert (card.severity, card.fix) == ("error", ("sudo modprobe nvidia",))
    assert card.text == "the driver does not answer: NVIDIA-SMI has failed"
    machine.write("nvidia-smi", "exit 0")
    assert look(check_cuda, workspace)[1].severity == "warn"


def test_an_old_driver_tells_no_capability(workspace: Path, machine: Programs) -> None:
    """It is asked for what it knows."""
    machine.write("nvcc", NVCC)
    write_smi(machine, old="exit 2;")
    card = look(check_cuda, workspace)[1]
    assert (card.severity, card.found) == ("ok", "NVIDIA L4, driver 570.86, compute capability unknown")


def test_a_card_that_the_compiler_does_not_know(workspace: Path, machine: Programs) -> None:
    """Nothing can be built for it; a compiler that is too old to say is believed."""
    machine.write("nvcc", NVCC)
    write_smi(machine, capability="7.0")
    card = look(check_cuda, workspace)[1]
    assert (card.severity, card.text) == (
        "error",
        "CUDA 12.8 does not compile for compute capability 7.0: another release of it does",
    )
    machine.write("nvcc", NVCC.replace("echo compute_80; echo compute_89", "exit 1"))
    assert look(check_cuda, workspace)[1].severity == "ok"


def test_a_driver_older_than_the_compiler(workspace: Path, machine: Programs) -> None:
    """Releases with one first number run each other's programs; others do not."""
    machine.write("nvcc", NVCC)
    for newest, severity in (("12.1", "ok"), ("13.0", "ok"), ("11.8", "warn")):
        write_smi(machine, cuda=newest)
        assert look(check_cuda, workspace)[1].severity == severity
    smi = SMI.format(cuda="", capability="8.9", old="").replace('"") echo', '"") exit 1; echo')
    machine.write("nvidia-smi", smi)
    assert look(check_cuda, workspace)[1].severity == "ok"


def test_a_variable_that_names_another_card(
    workspace: Path, machine: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Build scripts believe it."""
    machine.write("nvcc", NVCC)
    write_smi(machine)
    monkeypatch.setenv("CUDA_COMPUTE_CAP", "89")
    assert look(check_cuda, workspace)[1].severity == "ok"
    monkeypatch.setenv("CUDA_COMPUTE_CAP", "80")
    card = look(check_cuda, workspace)[1]
    assert (card.severity, card.fix) == ("warn", ("unset CUDA_COMPUTE_CAP",))


def test_metal(workspace: Path, machine: Programs) -> None:
    """Apple's tools, then a GPU that has it."""
    (finding,) = look(check_metal, workspace, system=MAC)
    assert (finding.severity, finding.fix) == ("error", ("xcode-select --install",))
    machine.write("xcrun", '[ "$1" = --version ] && echo xcrun version 70 || echo 15.5')
    displays = {"sppci_model": "Apple M3", "spdisplays_mtlgpufamilysupport": "spdisplays_metal3"}
    for gpus, severity, found in (
        ([displays], "ok", "SDK 15.5, Apple M3 (metal3)"),
        ([{"sppci_model": "old"}], "error", "SDK 15.5"),
    ):
        document = json.dumps({"SPDisplaysDataType": gpus})
        machine.write("system_profiler", f"echo '{document}'")
        (finding,) = look(check_metal, workspace, system=MAC)
        assert (finding.severity, finding.found) == (severity, found)
