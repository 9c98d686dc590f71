"""The same result as pyinfra's own connector, command by command."""

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from sshd_host import PASSWORD

pytestmark = [pytest.mark.lab, pytest.mark.alone]

COMMANDS = [
    ("true", {}),
    ("false", {}),
    ("exit 3", {}),
    ("exit 3", {"_success_exit_codes": [0, 3]}),
    ("kill -9 $$", {}),
    ("no-such-program", {}),
    ("echo a; echo b >&2; echo c", {}),
    ("printf abc", {}),
    ("printf 'a\\n\\n'", {}),
    ("printf '\\n'", {}),
    ("printf '\\n\\n\\nx'", {}),
    ("printf 'a\\r\\nb\\r\\n'", {}),
    ("printf 'x\\n' >&2; printf y >&2", {}),
    ("echo ü € 漢", {}),
    ("cat; echo after", {}),
    ('read line; echo "got <$line> $?"', {}),
    ("seq 20000; seq 20000 >&2", {}),
    ("head -c 300000 /dev/zero | tr '\\0' x", {}),
    ("(sleep 0.3; echo late; echo late-error >&2) & echo early", {}),
    ("pwd; umask; id -un; ulimit -n; tty; echo $0", {}),
    ("env | grep -v '^SSH_\\|^_=' | sort", {}),
    ("echo 'a\nb' # comment", {}),
    ("cat <<X\nhere $HOME\nX", {}),
    ('echo "quote \' and \\" and \\\\"', {}),
    ("if", {}),
    ("echo $FLEET '$FLEET'", {"_env": {"FLEET": 'it\'s "a" $HOME'}}),
    ("pwd", {"_chdir": "/usr/share"}),
    ("pwd", {"_chdir": "/no/such"}),
    ("echo ${BASH_VERSION%%.*}; x=(1 2); echo ${x[1]}", {"_shell_executable": "bash"}),
    ("echo ${BASH_VERSION:+login} | cat", {"_shell_executable": None}),
    ("exit 4", {"_shell_executable": None}),
    ("id -un; echo $HOME; pwd", {"_sudo": True}),
    ("id -un; echo $HOME; pwd", {"_sudo": True, "_use_sudo_login": True}),
    ("id -un; echo $X", {"_sudo": True, "_env": {"X": "1"}, "_chdir": "/"}),
    ("id -un; cat", {"_sudo": True, "_sudo_user": "other"}),
    ("true", {"_sudo": True, "_sudo_user": "nobody-there"}),
    ("id -un; cat", {"_sudo": True, "_su_user": "other"}),
    ("id -un; pwd", {"_sudo": True, "_su_user": "other", "_use_su_login": True}),
    ("id -un", {"_sudo": True, "_su_user": "games", "_su_shell": "bash"}),
    ("id -un; cat", {"_su_user": "other", "_su_password": PASSWORD}),
    ("id -un", {"_su_user": "other", "_su_password": "wrong"}),
    ("id -un", {"_doas": True}),
    ("id -un", {"_doas": True, "_doas_user": "other"}),
    ("tty >/dev/null && echo terminal; stty size", {"_get_pty": True}),
    ("cat; echo done", {"_stdin": "one\ntwo"}),
    ("cat; echo done", {"_stdin": ["one", "two"]}),
    ("echo quick", {"_timeout": 20}),
    ("yes $(seq -s, 40) | head -c 10485760", {}),
]


@pytest.mark.parametrize("command, arguments", COMMANDS, ids=[f"{c[:30]} {sorted(a)}" for c, a in COMMANDS])
def test_result_is_that_of_stock(both: tuple[Host, Host], command: str, arguments: dict[str, object]) -> None:
    stock, ours = both
    expected_ok, expected = stock.run_shell_command(StringCommand(command), **arguments)
    for _ in range(2):  # the second answer comes from a shell that has answered already
        ok, output = ours.run_shell_command(StringCommand(command), **arguments)
        assert ok is expected_ok
        assert output.stdout_lines == expected.stdout_lines
        assert output.stderr_lines == expected.stderr_lines
