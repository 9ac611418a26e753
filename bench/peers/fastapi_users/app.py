"""fastapi-users as its full example sets it up: SQLAlchemy with SQLite, and a JWT in the Authorization header that
leads to the user's row. It has no refresh tokens."""

import os
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "a key of this benchmark's own, long enough for HS256"

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['BENCH_DIRECTORY']}/bench.db")
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class UserManager(UUIDIDMixin, BaseUserManager[User, UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


async def _database(session: Annotated[AsyncSession, Depends(_session)]) -> AsyncIterator[SQLAlchemyUserDatabase]:
    yield SQLAlchemyUserDatabase(session, User)


async def _manager(database: Annotated[SQLAlchemyUserDatabase, Depends(_database)]) -> AsyncIterator[UserManager]:
    yield UserManager(database)


def make_strategy() -> JWTStrategy:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


backend = AuthenticationBackend("jwt", BearerTransport(tokenUrl="auth/jwt/login"), make_strategy)
users = FastAPIUsers[User, UUID](_manager, [backend])
app = FastAPI()
app.include_router(users.get_auth_router(backend), prefix="/auth/jwt")
app.include_router(users.get_users_router(schemas.BaseUser[UUID], schemas.BaseUserUpdate), prefix="/users")
