"""`python prepare.py <access tokens> <password>`: the database, users with one password, and tokens, as files a line
each in BENCH_DIRECTORY."""

import asyncio
import os
import sys
from pathlib import Path

from app import Base, User, engine, make_strategy, sessions
from fastapi_users.password import PasswordHelper

USERS = 100


async def main() -> None:
    checks, password = sys.argv[1:]
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    users = await _make_users(password)
    _write("users", [f"{user.email} {password}" for user in users])
    _write("access", [await make_strategy().write_token(users[number % USERS]) for number in range(int(checks))])
    await engine.dispose()


async def _make_users(password: str) -> list[User]:
    hashed = PasswordHelper().hash(password)
    users = [User(email=f"user{number}@example.com", hashed_password=hashed) for number in range(USERS)]
    async with sessions() as session:
        session.add_all(users)
        await session.commit()
    return users


def _write(name: str, lines: list[str]) -> None:
    (Path(os.environ["BENCH_DIRECTORY"]) / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
