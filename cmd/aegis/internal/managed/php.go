package managed

// phpReserved are the keywords and classes of PHP that cannot be a namespace.
// https://www.php.net/manual/en/reserved.php
var phpReserved = map[string]bool{
	"directory": true, "exception": true, "errorexception": true, "closure": true, "generator": true,
	"arithmeticerror": true, "assertionerror": true, "divisionbyzeroerror": true, "error": true,
	"throwable": true, "parseerror": true, "typeerror": true, "abstract": true, "and": true, "array": true,
	"as": true, "break": true, "callable": true, "case": true, "catch": true, "class": true, "clone": true,
	"const": true, "continue": true, "declare": true, "default": true, "die": true, "do": true, "echo": true,
	"else": true, "elseif": true, "empty": true, "enddeclare": true, "endfor": true, "endforeach": true,
	"endif": true, "endswitch": true, "endwhile": true, "eval": true, "exit": true, "extends": true,
	"final": true, "finally": true, "fn": true, "for": true, "foreach": true, "function": true, "global": true,
	"goto": true, "if": true, "implements": true, "include": true, "include_once": true, "instanceof": true,
	"insteadof": true, "interface": true, "isset": true, "list": true, "match": true, "namespace": true,
	"new": true, "or": true, "print": true, "private": true, "protected": true, "public": true, "require": true,
	"require_once": true, "return": true, "static": true, "switch": true, "throw": true, "trait": true,
	"try": true, "unset": true, "use": true, "var": true, "while": true, "xor": true, "yield": true,
	"int": true, "float": true, "bool": true, "string": true, "true": true, "false": true, "null": true,
	"void": true, "iterable": true,
}
