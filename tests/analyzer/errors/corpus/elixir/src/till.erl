%% Errors of a till: erl -noshell -s till CASE
-module(till).
-export([plain/0, badmatch/0, add/2]).

add(A, B) -> A + B.

plain() -> io:format(standard_error, "~p~n", [catch add(1, tea)]), halt().

badmatch() -> try {ok, _} = file:open("/nowhere/prices", [read]) catch C:R:S -> io:format(standard_error, "~p:~p~n~p~n", [C, R, S]) end, halt().
