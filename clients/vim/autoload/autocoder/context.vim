" The text around the cursor, cut to what a request may carry. Changes nothing.
scriptencoding utf-8

" Bytes of whole lines taken above and below the cursor's: several times what a model reads,
" and little enough that a request fits a pipe's buffer and is encoded in well under 1 ms.
let s:above = 12 * 1024
let s:below = 4 * 1024
let s:longest_request = 60000

" The fields of a `complete` request at the cursor: document, path, language, prefix, suffix.
function! autocoder#context#request() abort
  let l:path = expand('%:p')
  let l:request = {'type': 'complete', 'path': empty(l:path) ? v:null : l:path,
        \ 'document': empty(l:path) ? 'untitled-' .. bufnr('%') : l:path,
        \ 'language': empty(&filetype) ? v:null : &filetype}
  let l:share = 1
  while l:share <= 64
    call extend(l:request, s:around(s:above / l:share, s:below / l:share))
    if len(json_encode(l:request)) <= s:longest_request
      break
    endif
    let l:share = l:share * 4
  endwhile
  return l:request
endfunction

" Where the cursor is and in which text: two equal places need the same suggestion.
function! autocoder#context#place() abort
  return [bufnr('%'), b:changedtick, line('.'), col('.')]
endfunction

" prefix: from a line's start up to the cursor; suffix: from there to a line's end.
function! s:around(above, below) abort
  let [l:here, l:at] = [line('.'), col('.') - 1]
  let l:line = getline('.')
  let l:before = getline(s:first_line(l:here, a:above), l:here - 1)
  let l:after = getline(l:here + 1, s:last_line(l:here, a:below))
  return {'prefix': s:text(add(l:before, strpart(l:line, 0, l:at))),
        \ 'suffix': s:text(insert(l:after, strpart(l:line, l:at)))}
endfunction

" Bytes that are no UTF-8 become `?`. Neovim's iconv() lets them pass where both sides are UTF-8,
" and its json_encode() throws; so the text takes a way around, where it has any.
function! s:text(lines) abort
  let l:text = join(a:lines, "\n")
  if &encoding !=# 'utf-8'
    return l:text
  elseif !has('nvim')
    return iconv(l:text, 'utf-8', 'utf-8')
  endif
  try
    call json_encode(l:text)
    return l:text
  catch /E474/
    return iconv(iconv(l:text, 'utf-8', 'gb18030'), 'gb18030', 'utf-8')
  endtry
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
