" The text around the cursor, cut to what a request may carry. Changes nothing.
scriptencoding utf-8

" Bytes of whole lines taken above and below the cursor's: several times what a model reads,
" and little enough that a request fits a pipe's buffer and is encoded in well under 1 ms.
let s:above = 12 * 1024
let s:below = 4 * 1024
let s:longest_request = 60000

" The lines of the last request, by buffer: most keys leave them as they are.
let s:cut = {'buffer': -1}

" A `complete` request at the cursor as JSON, with `fields` and without `v` and `id`.
function! autocoder#context#request(fields) abort
  let l:path = expand('%:p')
  let l:request = extend({'type': 'complete', 'path': empty(l:path) ? v:null : l:path,
        \ 'document': empty(l:path) ? 'untitled-' .. bufnr('%') : l:path,
        \ 'language': empty(&filetype) ? v:null : &filetype}, a:fields)
  let l:share = 1
  while 1
    let l:json = s:encode(extend(l:request, s:around(s:above / l:share, s:below / l:share)))
    if len(l:json) <= s:longest_request || l:share >= 64
      return l:json
    endif
    let l:share = l:share * 4
  endwhile
endfunction

" Where the cursor is and in which text: two equal places need the same suggestion.
function! autocoder#context#place() abort
  return [bufnr('%'), b:changedtick, line('.'), col('.')]
endfunction

" prefix: from a line's start up to the cursor; suffix: from there to a line's end.
function! s:around(above, below) abort
  let [l:here, l:at] = [line('.'), col('.') - 1]
  let l:line = getline('.')
  let [l:first, l:last] = s:lines_around(l:here, a:above, a:below)
  let l:before = getline(l:first, l:here - 1)
  let l:after = getline(l:here + 1, l:last)
  return {'prefix': join(add(l:before, strpart(l:line, 0, l:at)), "\n"),
        \ 'suffix': join(insert(l:after, strpart(l:line, l:at)), "\n")}
endfunction

" Bytes that are no UTF-8 become `?`: Vim passes them on, Neovim throws at them.
function! s:encode(request) abort
  if !has('nvim')
    let l:json = json_encode(a:request)
    return &encoding ==# 'utf-8' ? iconv(l:json, 'utf-8', 'utf-8') : l:json
  endif
  try
    return json_encode(a:request)
  catch /E474/
    return json_encode(map(copy(a:request), {_, value -> s:clean(value)}))
  endtry
endfunction

" Neovim's iconv() lets such bytes pass where both sides are UTF-8; so the text takes a way around.
function! s:clean(value) abort
  return type(a:value) != v:t_string ? a:value
        \ : iconv(iconv(a:value, 'utf-8', 'gb18030'), 'gb18030', 'utf-8')
endfunction

" The first and the last line to take. Those of the last request serve again while they hold
" not much less than what is wanted: looking for new ones is most of the work.
function! s:lines_around(here, above, below) abort
  if s:cut.buffer != bufnr('%') || s:cut.sizes !=# [a:above, a:below] || !s:fits(a:here)
    let s:cut = {'buffer': bufnr('%'), 'sizes': [a:above, a:below],
          \ 'first': s:first_line(a:here, a:above), 'last': s:last_line(a:here, a:below)}
  endif
  return [s:cut.first, s:cut.last]
endfunction

function! s:fits(here) abort
  let [l:above, l:below] = s:cut.sizes
  if s:cut.first > a:here || s:cut.last < a:here || s:cut.last > line('$')
    return 0
  endif
  let l:over = line2byte(a:here) - line2byte(s:cut.first)
  let l:under = line2byte(s:cut.last + 1) - line2byte(a:here + 1)
  return l:over <= l:above && (l:over > l:above / 4 * 3 || s:cut.first == 1)
        \ && l:under <= l:below && (l:under > l:below / 4 * 3 || s:cut.last == line('$'))
endfunction

" The first line such that at most `bytes` bytes lie between its start and line `here`.
function! s:first_line(here, bytes) abort
  let l:wanted = line2byte(a:here) - a:bytes
  let [l:low, l:high] = [max([1, a:here - a:bytes]), a:here]
  while l:low < l:high
    let l:middle = (l:low + l:high) / 2
    if line2byte(l:middle) >= l:wanted
      let l:high = l:middle
    else
      let l:low = l:middle + 1
    endif
  endwhile
  return l:low
endfunction

" The last line such that at most `bytes` bytes lie between the end of line `here` and its end.
function! s:last_line(here, bytes) abort
  let l:wanted = line2byte(a:here + 1) + a:bytes
  let [l:low, l:high] = [a:here, min([line('$'), a:here + a:bytes])]
  while l:low < l:high
    let l:middle = (l:low + l:high + 1) / 2
    if line2byte(l:middle + 1) <= l:wanted
      let l:low = l:middle
    else
      let l:high = l:middle - 1
    endif
  endwhile
  return l:low
endfunction
