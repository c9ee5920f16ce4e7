// Package howto has the code of the pages in docs/howto, a file for each page. Its tests run
// the code, and compare the pages with it.
package howto
