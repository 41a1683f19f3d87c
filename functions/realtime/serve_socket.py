"""/ws: tells a user what happens, and takes commands."""

from functions.realtime._channels import Subscriptions
from functions.realtime._commands import Commands
from functions.realtime._conversation import Conversation
from functions.realtime._entrance import Entrance
from shared.function import Scale, socket
from shared.ports.agents import Agents
from shared.ports.api_keys import ApiKeys
from shared.ports.limits import Limits
from shared.ports.live import AgentFeed, SessionWatch, SocketCount, TaskFeed
from shared.ports.sessions import Sessions
from shared.ports.tasks import Tasks
from shared.ports.tokens import Tokens
from shared.streams import Closed, Connection

TOO_MANY = 4429


@socket("/ws", scale=Scale(min=1, max=10, target=500))
async def serve_socket(
    connection: Connection,
    *,
    tokens: Tokens,
    sessions: Sessions,
    keys: ApiKeys,
    limits: Limits,
    count: SocketCount,
    watch: SessionWatch,
    task_feed: TaskFeed,
    agent_feed: AgentFeed,
    agents: Agents,
    tasks: Tasks,
) -> None:
    """One socket, from its first frame, which has to prove a user, to its end."""
    entrance = Entrance(tokens, sessions, keys)
    caller = await entrance.first(connection)
    async with count.counted(caller.user_id, most=limits.sockets(caller.tier)) as admitted:
        if not admitted:
            raise Closed(TOO_MANY, "too many sockets are open")
        conversation = Conversation(
            connection,
            caller,
            entrance=entrance,
            watch=watch,
            limits=limits,
            feed=task_feed,
            commands=Commands(agents=agents, tasks=tasks, limits=limits),
            subscriptions=Subscriptions(connection, tasks=task_feed, agents=agent_feed),
        )
        async with conversation:
            while True:
                await conversation.hear(await connection.receive())
