from pathlib import Path

from deploy.nats.config import password_variable, permissions, server_config

TABLE = permissions()


def test_wildcards_are_whole_tokens():
    """`LEDGER_*` is taken as plain text by the server, and every call times out."""
    for user, rights in TABLE.items():
        for subject in (*rights.publish, *rights.subscribe):
            for token in subject.split("."):
                assert token in {"*", ">"} or not set("*>") & set(token), (user, subject)


def test_no_process_holds_two_command_classes_and_no_class_has_two_senders():
    senders = {}
    for user, rights in TABLE.items():
        for subject in rights.publish:
            if subject.startswith("ledger.commands"):
                assert user not in senders
                senders[user] = subject.rpartition(".")[2]
    assert senders == {
        "gateway": "use",
        "admin": "admin",
        "payments": "money",
        "recharge": "recharge",
    }


def test_every_user_listens_at_its_own_inbox_only():
    for user, rights in TABLE.items():
        inboxes = [
            subject for subject in rights.subscribe if subject.startswith(("inbox", ">", "*"))
        ]
        assert inboxes == [f"inbox.{user}.>"]


def test_who_may_send_commands_may_not_answer_everywhere():
    for rights in TABLE.values():
        sends = any(subject.startswith("ledger.commands") for subject in rights.publish)
        assert not (sends and "inbox.>" in rights.publish)


def test_the_configuration_holds_no_password_and_no_allow_responses():
    text = server_config(port=1, monitor_port=2, store=Path("/store"))
    assert "allow_responses" not in text
    for user in TABLE:
        assert f"password: ${password_variable(user)}," in text


def test_every_acknowledged_message_is_synced():
    assert "sync_interval: always" in server_config(port=1, monitor_port=2, store=Path("/s"))
