"""/ui: how a browser stays signed in to the UI without ever holding a token.

The UI's server logs in for its user and asks for a code (/ui/code). The page sends it to this gateway (/ui/session),
which answers with an HttpOnly, SameSite=Strict cookie that holds an opaque handle; browsers send cookies to all ports
of a host, so the UI's server finds it in its own requests, and exchanges it (/ui/token) for an access token that stays
on the server. A handle alone opens nothing here: the exchange needs a key that only the UI's server has. A code is
good for one use within 30 s, and no page but the UI's may send one (its Origin is checked), so nobody is signed in to
an account that is not theirs. The handle does not rotate, since a page's server could not put a new one into the
cookie; it ends with the session that it stands for, and after 7 days without use.
"""
