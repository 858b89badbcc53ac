"""Secrets: where they come from, and that no message ever shows one."""

import copy
import pickle

import pytest

from ctcore.config import Secret

GROUP = '\n[exchanges.acme]\n[[monitor.subscriptions]]\nexchange="acme"\nmarket="spot"\npairs=["BTC/USDT"]\n'


def test_a_secret_never_shows_itself():
    secret = Secret("hunter2-x")
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert "hunter2" not in shown
    assert secret.reveal() == "hunter2-x"
    assert secret == Secret("hunter2-x") != Secret("other")
    assert secret != "hunter2-x"
    assert bool(secret)
    assert not Secret("")
    assert copy.deepcopy(secret) is secret
    with pytest.raises(TypeError, match="reveal"):
        pickle.dumps(secret)


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("hunter2-from-file\n")
    path.chmod(0o600)
    return path


def test_references_are_replaced_wherever_they_stand(load, monkeypatch, secret_file):
    monkeypatch.setenv("TOKEN", "hunter2-from-env")
    monkeypatch.setenv("PORT", "9001")
    config = load(f"""
        [server]
        token = "${{TOKEN}}"
        port = "${{PORT}}"
        [log]
        dir = "a$${{b}}/${{env:PORT}}"
        [clickhouse]
        password = "${{file:{secret_file}}}"
        username = "x-${{vault:user}}"
    """ + GROUP)
    assert config.server.token.reveal() == "hunter2-from-env"
    assert config.server.port == 9001
    assert str(config.log.dir) == "a${b}/9001"
    assert config.clickhouse.password.reveal() == "hunter2-from-file"
    assert config.clickhouse.username == "x-user-from-vault"
    assert "hunter2" not in repr(config)
    known = {secret.reveal() for secret in config.secrets}
    assert {"hunter2-from-env", "hunter2-from-file"} <= known
    assert "9001" not in known


@pytest.mark.parametrize(("value", "text"), [
    ("${ABSENT}", "the environment variable 'ABSENT' is not set; export it before starting"),
    ("${env:EMPTY}", "the environment variable 'EMPTY' is empty; give it a value"),
    ("${env:A=B}", "the environment variable 'A=B' is not set; export it before starting"),
    ("${file:/no/such}", (
        "'/no/such' cannot be read (No such file or directory); correct the path or its rights")),
    ("${file:/dev/zero}", "'/dev/zero' is not a file; name a file that holds the secret"),
    ("${file:a\\u0000b}", "a file's name cannot hold a null character; correct the path"),
    ("${vault:broken}", (
        "the secret backend 'vault' failed with RuntimeError; see that its source is there")),
    ("${NAME", "'${' is not closed; write ${NAME}, or $${ for a literal ${"),
    ("pa${ss word}", (
        "'${...}' is no reference known here; write ${NAME} or one of ${env:...}, ${file:...}, ${vault:...}, "
        "or $${ for a literal ${")),
    ("${gpg:hunter2}", (
        "'${...}' is no reference known here; write ${NAME} or one of ${env:...}, ${file:...}, ${vault:...}, "
        "or $${ for a literal ${")),
])
def test_a_reference_that_cannot_be_read_is_one_problem(problems, monkeypatch, value, text):
    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.setenv("EMPTY", "")
    told = problems(f'[server]\nhost = "0.0.0.0"\ntoken = "{value}"' + GROUP)
    assert told == (f"x.toml:3: server.token: {text}",)


@pytest.mark.parametrize(("data", "mode", "text"), [
    (b"hunter2", 0o644, "can be read by every user of this machine; run chmod 600 on it"),
    (b"hunter2" * 10_000, 0o600, "is larger than 65536 bytes; name a file with the secret alone"),
    (b"hunter2\xff", 0o600, "is not UTF-8 text; save it as such"),
    (b"\n", 0o600, "is empty; write the secret into it"),
])
def test_a_secret_file_is_small_private_text(problems, secret_file, data, mode, text):
    secret_file.write_bytes(data)
    secret_file.chmod(mode)
    (line,) = problems(f'[server]\ntoken = "${{file:{secret_file}}}"' + GROUP)
    assert line == f"x.toml:2: server.token: '{secret_file}' {text}"


@pytest.mark.parametrize("section", [
    '[server]\ntoken = "{0} "\nport = "{0}"',
    '[server]\nhost = "{0}"\ntoken = ["{0}"]',
    '[server]\nallowed_origins = ["{0}"]',
    '[log]\nlevel = "{0}"\nmax_file_size_mb = "{0}"\n[role]\nmode = "{0}"',
    '[trader]\nenable_backtest = "{0}"\nmax_position_size = "{0}"\ndefault_strategy = "{0}"',
    '[exchanges.acme]\nenvironment = "{0}"\npace_sec = "{0}"\nphrase = 3\nlevels = "{0}"',
    '[exchanges.acme]\nrest = {{ spot = "ftp://user:{0}@host" }}',
    '[exchanges.acme]\nphrase = "wrong-phrase"',
    '[exchanges.acme.simulator]\nfault_kinds = "{0}"\nseed = "{0}"',
    '[sinks.tape]\napi_key = "{0}"\npin = "{0}"\nfolder = 3',
    '[sinks.x]\nkind = "{0}"',
    '[monitor]\nsubscriptions = "{0}"',
    '[[monitor.subscriptions]]\nexchange = "acme"\nmarket = "{0}"\npairs = ["{0}"]\nchannels = "{0}"',
    '[clickhouse]\nhost = "{0} x"\npassword = 1',
    '[database]\nuser = ""\nname = "n"\npassword = ["{0}"]',
])
def test_no_message_shows_what_a_reference_gave(problems, monkeypatch, section):
    monkeypatch.setenv("SECRET", "hunter2 /$!")
    text = section.format("${SECRET}")
    if "wrong-phrase" in text:
        text = text.replace("wrong-phrase", "${PHRASE}")
        monkeypatch.setenv("PHRASE", "wrong-phrase")
    told = "\n".join(problems(text))
    assert "hunter2" not in told
    assert "wrong-phrase" not in told
    assert "${" not in told


def test_no_message_shows_what_stands_in_a_key_for_secrets(problems):
    told = problems('[server]\ntoken = "hunter2 hunter2"\n[sinks.tape]\napi_key = "hunter2"\n'
                    '[database]\npassword = 77777\n[exchanges.acme.rest]\nspot = "ftp://a:hunter2@b"')
    assert "hunter2" not in "\n".join(told)
    assert "77777" not in "\n".join(told)
    assert "x.toml:4: sinks.tape.api_key: is refused; why is not shown, it would tell a secret" in told
