"""Who is let in, and how refusals look. `test_doors` asks every address."""

import httpx


def test_the_token_is_taken_from_header_or_query(lab_server):
    for arguments in (
        {"headers": {"Authorization": f"Bearer {lab_server.token}"}},
        {"headers": {"Authorization": f"token {lab_server.token}"}},
        {"params": {"token": lab_server.token}},
    ):
        assert httpx.get(f"{lab_server.url}mlship/api/lab", **arguments).status_code == 200


def test_a_browser_with_the_cookie_needs_the_xsrf_header_too(lab_server):
    with httpx.Client(base_url=lab_server.url, follow_redirects=True) as browser:
        # With the token in the address, as Jupyter prints it, the browser gets its cookies.
        browser.get("api/status", params={"token": lab_server.token})
        browser.get("mlship/docs")
        assert browser.get("mlship/api/lab").status_code == 200
        forged = browser.post("mlship/api/runs", json={"name": "from another site"})
        assert forged.status_code == 403
        assert forged.json()["error"]["code"] == "PERMISSION_DENIED"
        honest = browser.post(
            "mlship/api/runs", json={"name": "mine"}, headers={"X-XSRFToken": browser.cookies["_xsrf"]}
        )
        assert honest.status_code == 201


def test_the_page_of_the_api_sends_a_person_to_the_login(lab_server):
    answer = httpx.get(f"{lab_server.url}mlship/docs")
    assert answer.status_code == 302
    assert "/login?next=" in answer.headers["Location"]
    assert lab_server.client.get(f"{lab_server.url}mlship/docs").status_code == 200


def test_errors_have_one_shape_and_tell_nothing_of_the_inside(lab_server):
    client = lab_server.client
    wrong = [
        client.get("no/such/address"),
        client.get("runs/abc"),
        client.get("runs/999999"),
        client.put("lab"),
        client.get("runs", params={"limit": "many", "nonsense": 1}),
        client.post("runs", content=b"{broken"),
        client.post("runs", content=b"[" * 100_000),
        client.post("runs", content=b'{"name": "\xff"}'),
    ]
    for answer in wrong:
        assert 400 <= answer.status_code < 500, answer.text
        body = answer.json()
        assert set(body) == {"error", "request_id"}
        assert set(body["error"]) == {"code", "message", "details"}
        assert body["request_id"] == answer.headers["X-Request-ID"]
        assert "Traceback" not in answer.text
        assert str(lab_server.data_dir) not in answer.text


def test_a_body_that_is_too_large_is_refused_early(lab_server):
    answer = lab_server.client.post("runs", content=b" " * (17 << 20))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_the_token_is_not_written_to_the_log(lab_server):
    httpx.get(f"{lab_server.url}mlship/api/lab", params={"token": lab_server.token})
    httpx.get(f"{lab_server.url}mlship/api/nothing", params={"token": lab_server.token})
    assert lab_server.token not in lab_server.log_file.read_text()
