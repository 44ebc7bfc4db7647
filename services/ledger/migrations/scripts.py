from alembic import op


def run(script: str) -> None:
    """Run SQL of several statements: asyncpg prepares one at a time."""
    connection = op.get_bind()
    for statement in statements(script):
        connection.exec_driver_sql(statement)


def statements(script: str) -> list[str]:
    """The statements of a script; a `;` inside $$ does not end one."""
    found, quoted, start = [], False, 0
    for index in range(len(script)):
        if script.startswith("$$", index):
            quoted = not quoted
        elif script[index] == ";" and not quoted:
            found.append(script[start:index])
            start = index + 1
    return found
